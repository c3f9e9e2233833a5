from setuptools import find_packages, setup

about = {}
exec(open("app/version.py").read(), about)
setup(
    name="app",
    version=about["__version__"],
    packages=find_packages(),
    install_requires=open("wanted.in").read().split(),
)
