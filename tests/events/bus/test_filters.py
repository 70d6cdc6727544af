from trackside.events.bus.filters import OnceReceiver


def test_a_once_receiver_calls_its_function_before_anything_can_detach_it():
    seen = []
    OnceReceiver(lambda trainer, state: seen.append((trainer, state)))("trainer", "state")
    assert seen == [("trainer", "state")]
