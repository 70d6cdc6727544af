"""The training loop: the activities, and the loop that runs one after the other.

May import: statechart, data, order, batches, closing.

One batch. The trigger that an activity returns selects a row of `statechart.chart`; before the
run, `statechart.compiled_table` has looked up its next phase, activity and receivers.

    loop.run_loop.RunLoop.transitions            an activity, its next phase, the signal
    loop.activities.fetch_training               takes a batch from the loader; returns begin_batch
    batches.batch.set_batch                      splits the batch into xb and yb, counts it
    loop.activities.forward                      pred; returns after_pred
    loop.activities.loss                         loss; after_loss, then begin_backward follows
    loop.activities.backward                     gradients; after_backward, then begin_step
    loop.activities.step                         updates the weights; returns after_step
    loop.activities.zero_grad                    clears the gradients; returns after_batch

One cancel of that batch (events/cancel.py), requested by another thread; the one that a handler
raises begins at `_unwind`. `statechart.phase_paths` knows which scopes are open.

    engine.Engine.request                        any thread
    closing.cancel_requests.Requests.add_cancel  checks it, puts it into a queue, sets `pending`
    closing.cancel_requests.Requests.apply       before the next activity; raises it
    loop.run_loop.RunLoop._unwind                sends the closing signals, one row after the other
    closing.unwinding.Unwinding.take             what was raised
    closing.raised_exception.describe_raiser     fills in `raised_by`
    closing.unwinding.Unwinding.add              selects the scope to close, or makes it an error
    closing.recoveries.scope_to_close            that; of a retry or rollback where it goes back
    closing.unwinding.Unwinding.next_row         after_cancel_batch, then after_batch, then None
    closing.unwinding.Unwinding.enter            makes the row the live transition
    closing.unwinding.Unwinding.finish           the run continues in the leaf of the unwinding
    loop.activities.fetch_training               the next batch
"""
