from setuptools import find_packages, setup

setup(
    name="shop-stock",
    version="0.1.0",
    packages=find_packages(),
    package_data={"shop_stock": ["data/*.csv"]},
    python_requires=">=3.10",
    install_requires=[
        "dagster",
        "dagster-cloud",
        "pandas",
    ],
)
