raise SystemError('no weather today')
