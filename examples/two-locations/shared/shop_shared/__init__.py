"""What the sales and stock locations have in common."""

from shop_shared.tables import top

__all__ = ["top"]
