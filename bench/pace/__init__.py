"""The account's rate on a real network and beside others: scenarios, one runner, two ways to compare with."""
