"""Send batches: submit a batch, process the queue, count a batch's messages."""
