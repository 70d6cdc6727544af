from trackside.engine.closing.uninterrupted import complete


def test_work_is_repeated_until_no_interrupt_breaks_it_off():
    raised, done = [KeyboardInterrupt("first"), KeyboardInterrupt("second")], []

    def work():
        if raised:
            raise raised.pop(0)
        done.append("done")

    first = complete(work)
    assert (str(first), done) == ("first", ["done"])
    assert complete(lambda: None) is None


def test_an_error_is_not_repeated():
    calls = []

    def work():
        calls.append(1)
        raise ValueError("no")

    assert str(complete(work)) == "no"
    assert len(calls) == 1


def test_work_that_an_interrupt_always_breaks_off_is_given_up():
    calls = []

    def work():
        calls.append(1)
        raise KeyboardInterrupt(len(calls))

    assert complete(work).args == (1,)
    assert len(calls) == 10
