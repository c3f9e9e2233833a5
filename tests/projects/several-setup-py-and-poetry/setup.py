from setuptools import setup

setup(name="app", version="1.0", packages=["app"], install_requires=["dagster", "dagster-cloud", "tool==1.0"])
