from app import settings

HOST = settings.WAREHOUSE.partition("/")[0]
