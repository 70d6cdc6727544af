from trackside.events import PeerError


def test_the_error_of_another_rank_tells_where_it_was_raised():
    error = PeerError("rank 1 has failed", 1, "EMA.after_step", "fit.epoch", "Traceback …")
    told = (str(error), error.rank, error.raised_by, error.raised_in, error.traceback)
    assert told == ("rank 1 has failed", 1, "EMA.after_step", "fit.epoch", "Traceback …")


def test_of_a_lost_rank_nothing_is_known_but_that():
    error = PeerError("a rank is lost")
    assert (error.rank, error.raised_by, error.raised_in, error.traceback) == (-1, "", "", "")
