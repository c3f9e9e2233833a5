SALES = "sales"
