"""The training loop: activities, the engine that runs them, cancels and the unwinding of scopes.

May import: statechart, data, diagram.

One batch. The trigger that an activity returns selects a row of `statechart.chart`; before the
run, `statechart.compiled_table` has looked up its next phase, activity and receivers.

    run_loop.RunLoop.transitions          runs an activity, enters its next phase, sends the signal
    activities.fetch_training             takes a batch from the loader; returns begin_batch
    batch.set_batch                       splits the batch into xb and yb, counts its examples
    activities.forward                    pred; returns after_pred
    activities.loss                       loss; returns after_loss, then follows begin_backward
    activities.backward                   gradients; returns after_backward, then begin_step
    activities.step                       updates the weights; returns after_step
    activities.zero_grad                  clears the gradients; returns after_batch

One cancel of that batch (events/cancel.py), requested by another thread; the one that a handler
raises begins at `_unwind`. `statechart.phase_paths` knows which scopes are open.

    engine.Engine.request                 any thread
    cancel_requests.Requests.add_cancel   checks it, puts it into a queue, sets `pending`
    cancel_requests.Requests.apply        before the next activity: raises it in `transitions`
    run_loop.RunLoop._unwind              sends the closing signals, one row after the other
    unwinding.Unwinding.take              what was raised
    raised_exception.describe_raiser      fills in `raised_by`
    unwinding.Unwinding.add               selects the scope to close, or makes it an error
    unwinding.Unwinding.next_row          after_cancel_batch, then after_batch, then None
    unwinding.Unwinding.enter             makes the row the live transition
    unwinding.Unwinding.finish            the run continues in the leaf of the unwinding
    activities.fetch_training             the next batch
"""
