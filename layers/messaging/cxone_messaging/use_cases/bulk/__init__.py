"""Send batches: take a batch, work off the queue, count a batch's messages."""
