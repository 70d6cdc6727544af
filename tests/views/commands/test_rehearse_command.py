def test_it_prints_the_plan_of_a_job(command):
    done = command("rehearse", "jobs:job", "--epochs", "3")
    assert done.returncode == 0, done.stderr
    assert "the fit would be completed" in done.stdout
    assert "3 begin_epoch" in done.stdout


def test_a_problem_is_printed_and_gives_the_code_1(command, tmp_path):
    (tmp_path / "wrong.py").write_text(
        "import jobs\n\n"
        "class Wrong:\n"
        "    def after_loss(self, trainer, state):\n"
        "        raise OSError('no server')\n\n"
        "def job():\n"
        "    made = jobs.job()\n"
        "    made.trainer.attach(Wrong())\n"
        "    return made\n"
    )
    done = command("rehearse", "wrong:job")
    assert done.returncode == 1
    assert "Wrong.after_loss raised in epoch 1, batch 1: OSError: no server" in done.stdout


def test_the_seed_is_given_to_the_factory(command, tmp_path):
    (tmp_path / "seeded.py").write_text(
        "import jobs\n\ndef job(seed=0):\n    print('seed', seed)\n    return jobs.job()\n"
    )
    assert "seed 5" in command("rehearse", "seeded:job", "--seed", "5").stdout
