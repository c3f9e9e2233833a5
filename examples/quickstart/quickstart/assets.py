"""Assets: the orders as they came in, and what they add up to."""

import dagster as dg
import pandas as pd

# Relative to the working directory: the project's directory, here as on the server.
ORDERS_FILE = "data/orders.csv"


@dg.asset(group_name="shop")
def orders(context: dg.AssetExecutionContext) -> pd.DataFrame:
    """One row per order line, with its amount in cents; cancelled orders are left out."""
    lines = pd.read_csv(ORDERS_FILE, parse_dates=["ordered_on"])
    lines = lines[lines["status"] != "cancelled"]
    lines = lines.assign(amount=lines["quantity"] * lines["unit_price"])
    context.add_output_metadata({"rows": len(lines), "amount": int(lines["amount"].sum())})
    return lines


@dg.asset(group_name="shop")
def daily_revenue(context: dg.AssetExecutionContext, orders: pd.DataFrame) -> pd.DataFrame:
    """Revenue per day in cents, with its mean over the last three days that had orders."""
    revenue = orders.groupby("ordered_on", as_index=False)["amount"].sum()
    revenue["three_day_mean"] = revenue["amount"].rolling(3, min_periods=1).mean().round(2)
    best = revenue.loc[revenue["amount"].idxmax()]
    context.add_output_metadata({"days": len(revenue), "best_day": f"{best['ordered_on']:%Y-%m-%d}"})
    return revenue
