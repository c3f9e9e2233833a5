dbt deps
