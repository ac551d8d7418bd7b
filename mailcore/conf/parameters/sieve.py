"""Parameters: filters (Sieve)."""

from dataclasses import dataclass
from typing import ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mailcore.conf.declaration import byte_size, days, integer, seconds, text, words


@dataclass(frozen=True)
class Sieve:
    title: ClassVar[Promise | str] = _("Filters (Sieve)")

    sieve_max_script_size: int = byte_size("1048576", _("Largest Sieve script; 0: no limit."))
    sieve_quota_max_scripts: int = integer("16", _("Largest number of Sieve scripts of an account; 0: no limit."))
    sieve_max_actions: int = integer("32", _("Largest number of actions of a Sieve script on one message."))
    sieve_max_redirects: int = integer("4", _("Addresses a Sieve script may redirect one message to."))
    sieve_max_cpu_time: int = seconds("5s", _("CPU time limit of a Sieve script on one message."))
    sieve_max_cpu_time_hourly: int = seconds(
        "60s", _("CPU time of an account's Sieve scripts in an hour, after which they are not run; 0: no limit.")
    )
    sieve_max_includes: int = integer("255", _("Scripts that a Sieve script may include for one message."))
    sieve_max_include_depth: int = integer("10", _("Nesting of Sieve scripts that include others."))
    sieve_regex_max_length: int = integer("4000", _("Characters of a regular expression in a Sieve script."))
    sieve_regex_max_states: int = integer(
        "4000", _("States of a regular expression in a Sieve script: its characters, with repetitions written out.")
    )
    sieve_editheader_protected: tuple[str, ...] = words(
        "", _("Header fields that Sieve scripts may neither add nor delete, besides Received and Auto-Submitted.")
    )
    sieve_editheader_max_header_size: int = byte_size(
        "2048", _("Largest header field that a Sieve script may add to a message.")
    )
    sieve_editheader_max_headers: int = integer("100", _("Header fields that a Sieve script may add to one message."))
    sieve_global_dir: str = text(
        "", _("Directory of the scripts NAME.sieve that every account may include as :global; empty: none.")
    )
    sieve_vacation_default_period: int = days(
        "7d", _("Time before a sender gets another vacation reply, unless the script sets it.")
    )
    sieve_vacation_min_period: int = days("1d", _("Shortest time between vacation replies that a script may set."))
    sieve_vacation_max_period: int = days(
        "60d", _("Longest time between vacation replies that a script may set; 0: no limit.")
    )
    sieve_duplicate_default_period: int = days(
        "14d", _("Time the Sieve test duplicate tracks a message, unless the script sets it.")
    )
    sieve_duplicate_max_period: int = days(
        "30d", _("Longest time the Sieve test duplicate may track a message; 0: no limit.")
    )
    sieve_spamtest_status_header: str = text(
        "", _("Header field in which the spam filter writes its result, for Sieve scripts: NAME or NAME: PATTERN.")
    )
    sieve_spamtest_status_type: str = text("score", _("Kind of the spam filter's result: score, strlen or text."))
    sieve_spamtest_max_value: str = text("", _("Worst score that the spam filter gives."))
    sieve_spamtest_max_header: str = text(
        "", _("Header field with the worst score of the spam filter: NAME or NAME: PATTERN.")
    )
    sieve_spamtest_text_values: tuple[str, ...] = words(
        "", _("Results of the spam filter that are texts: the one for not tested first, then from clean to worst.")
    )
    sieve_virustest_status_header: str = text(
        "", _("Header field in which the virus filter writes its result, for Sieve scripts: NAME or NAME: PATTERN.")
    )
    sieve_virustest_status_type: str = text("score", _("Kind of the virus filter's result: score, strlen or text."))
    sieve_virustest_max_value: str = text("", _("Worst score that the virus filter gives."))
    sieve_virustest_max_header: str = text(
        "", _("Header field with the worst score of the virus filter: NAME or NAME: PATTERN.")
    )
    sieve_virustest_text_values: tuple[str, ...] = words(
        "", _("Results of the virus filter that are texts: the one for not tested first, then from clean to worst.")
    )
