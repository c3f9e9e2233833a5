from app.orders import defs
