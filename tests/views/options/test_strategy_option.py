def test_a_strategy_without_torchrun_is_refused_with_the_command(refused):
    message = refused("fit", "jobs:job", "--strategy", "ddp")
    assert "torchrun has not started this process" in message
    assert "torchrun --nproc-per-node 2 -m trackside fit" in message
