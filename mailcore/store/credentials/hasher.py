"""The password hasher: argon2id with OWASP's parameters (19 MiB, two passes, one lane).

Named in Django's PASSWORD_HASHERS. Django's own parameters (100 MiB, eight lanes) cost 217 ms of processor time and 100
MiB for each check; mail programs log in all day, and these cost a tenth of that. Older and costlier hashes are still
checked, and replaced when their password is next used.
"""

from django.contrib.auth.hashers import Argon2PasswordHasher


class Argon2Hasher(Argon2PasswordHasher):
    """Argon2id with 19 MiB, two passes and one lane."""

    time_cost = 2
    memory_cost = 19_456  # KiB
    parallelism = 1
