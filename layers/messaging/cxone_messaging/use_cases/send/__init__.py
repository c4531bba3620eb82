"""Send one message: check, reserve a slot, claim, post, record the outcome."""
