"""One file for each contender. To add one, write such a file:

REQUIRES = ("name==version", …)     what pip installs into its environment, beside torch
WITHOUT_DEPENDENCIES = (…)          what is installed with `--no-deps`; why is said in a comment

def bare(job): …                    trains as plainly as the contender can
def equipped(job): …                with a progress bar, running loss, accuracy, a callback of the
                                    user before and after each batch, a schedule and clipping

Each trains `job.model` for one pass over `job.batches` and returns the module whose weights it has
trained, or None if it is `job.model`. What only `equipped` needs is imported in it: the time and
the memory of importing the file are part of what is measured.
"""
