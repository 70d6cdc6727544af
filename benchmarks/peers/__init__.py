"""One file for each contender. To add one, write such a file:

REQUIRES = ("name==version", …)     packages that pip installs into its environment, besides torch
WITHOUT_DEPENDENCIES = (…)          packages installed with `--no-deps`; a comment says why

def bare(job): …                    trains with every option off
def equipped(job): …                with a progress bar, running loss, accuracy, a user callback
                                    before and after each batch, a schedule and clipping

Each trains `job.model` for one pass over `job.batches` and returns the trained module, or None if
it is `job.model`. Import inside `equipped` what only `equipped` needs: the time and memory of
importing the file are measured, too.
"""
