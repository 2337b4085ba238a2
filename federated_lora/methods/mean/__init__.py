"""Rules that come nearer to the clients' mean product than averaging either factor does."""
