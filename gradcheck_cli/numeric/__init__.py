"""Forward -> estimates: derivatives of black-box functions, with error bars."""
