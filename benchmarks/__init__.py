"""What gradcheck costs and what it sees, measured. BLAS runs on one thread, as it does under the command."""

import os

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
