"""Forms of the pages: input fields, and conversion to drafts for `mailcore.store.directory`.

The store decides whether a change is permitted; its `DirectoryError` is shown as errors beside the fields.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from mailadmin.file_sizes import SizeField
from mailadmin.permissions import Permissions
from mailcore.models import Account, Domain
from mailcore.store.directory import AccountDraft, DirectoryError, DomainDraft, split_targets


class Form(forms.Form):
    """Base class; the template (templates/mailadmin/field.html) shows errors beside each field."""

    use_required_attribute = True

    def add_store_errors(self, problem: DirectoryError) -> None:
        """Show the store's errors; those of no field in this form are shown at the top."""
        for name, message in problem.fields.items():
            self.add_error(name if name in self.fields else None, message)


@cache
def time_zones() -> list[tuple[str, str]]:
    names = sorted(name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "posix/")))
    return [(name, name.replace("_", " ")) for name in names]


def languages() -> list[tuple[str, object]]:
    return [("", _("As the browser asks")), *settings.LANGUAGES]


class LanguageSelect(forms.Select):
    """A selection whose options carry their language, for screen readers."""

    def create_option(self, name: str, value: Any, *more: Any, **named: Any) -> dict[str, Any]:
        option = super().create_option(name, value, *more, **named)
        if value:
            option["attrs"]["lang"] = str(value)
        return option


class DomainForm(Form):
    name = forms.CharField(label=_("Domain"), max_length=255, widget=forms.TextInput(attrs={"autocapitalize": "none"}))
    kind = forms.ChoiceField(label=_("Kind"), choices=Domain.Kind.choices)
    target = forms.CharField(
        label=_("Stands for"), required=False, help_text=_("For another name: the domain it stands for.")
    )
    active = forms.BooleanField(label=_("Active"), required=False, help_text=_("An inactive domain accepts no mail."))
    account_quota_bytes = SizeField(
        label=_("Quota of an account"), help_text=_("Empty: the system's default. 0: no limit.")
    )
    account_quota_messages = forms.IntegerField(
        label=_("Messages of an account"), required=False, min_value=0, max_value=2**31 - 1
    )
    total_quota_bytes = SizeField(label=_("Quota of the whole domain"), help_text=_("Empty or 0: no limit."))
    max_accounts = forms.IntegerField(label=_("Accounts at most"), required=False, min_value=0, max_value=2**31 - 1)
    max_aliases = forms.IntegerField(label=_("Aliases at most"), required=False, min_value=0, max_value=2**31 - 1)
    catch_all = forms.CharField(
        label=_("Catch-all address"), required=False, max_length=320,
        help_text=_("Receives mail for names that do not exist."),
    )  # fmt: skip

    def __init__(self, *values: object, new: bool, **named: object) -> None:
        super().__init__(*values, **named)  # type: ignore[arg-type]
        if not new:
            del self.fields["name"]

    def draft(self) -> DomainDraft:
        given = self.cleaned_data
        return DomainDraft(
            kind=given["kind"],
            target=given["target"],
            active=given["active"],
            account_quota_bytes=given["account_quota_bytes"],
            account_quota_messages=given["account_quota_messages"],
            total_quota_bytes=given["total_quota_bytes"],
            max_accounts=given["max_accounts"],
            max_aliases=given["max_aliases"],
            catch_all=given["catch_all"],
        )


class AccountForm(Form):
    """An account's settings; role and managed domains only for administrators of the whole system."""

    name = forms.CharField(label=_("Full name"), required=False, max_length=200)
    state = forms.ChoiceField(
        label=_("State"), choices=Account.State.choices,
        help_text=_(
            "Without sign-in, mail still comes in. What is held waits in the queue. Switched off, neither people nor"
            " mail get in; what is there stays."
        ),
    )  # fmt: skip
    expires = forms.DateField(
        label=_("Expires on"), required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        input_formats=["%Y-%m-%d"], help_text=_("The last day it can be used."),
    )  # fmt: skip
    quota_bytes = SizeField(label=_("Quota"), help_text=_("Empty: as the domain says. 0: no limit."))
    quota_messages = forms.IntegerField(label=_("Messages at most"), required=False, min_value=0, max_value=2**31 - 1)
    language = forms.ChoiceField(label=_("Language"), required=False, choices=languages, widget=LanguageSelect)
    time_zone = forms.ChoiceField(
        label=_("Time zone"), required=False, choices=lambda: [("", _("As the system")), *time_zones()]
    )
    role = forms.ChoiceField(label=_("Role"), choices=Account.Role.choices)
    managed_domains = forms.ModelMultipleChoiceField(
        label=_("Domains to manage"), queryset=Domain.objects.none(), required=False,
        help_text=_("For an administrator of domains."),
    )  # fmt: skip

    def __init__(self, permissions: Permissions, *values: object, **named: object) -> None:
        super().__init__(*values, **named)  # type: ignore[arg-type]
        self._permissions = permissions
        if permissions.can_change_system:
            managed = self.fields["managed_domains"]
            assert isinstance(managed, forms.ModelMultipleChoiceField)
            managed.queryset = Domain.objects.order_by("name")
        else:
            del self.fields["role"], self.fields["managed_domains"]

    def draft(self) -> AccountDraft:
        given = self.cleaned_data
        return AccountDraft(
            name=given["name"],
            state=given["state"],
            role=given.get("role", Account.Role.OWNER),
            managed_domains=tuple(domain.pk for domain in given.get("managed_domains", ())),
            expires=given["expires"],
            quota_bytes=given["quota_bytes"],
            quota_messages=given["quota_messages"],
            language=given["language"],
            time_zone=given["time_zone"],
        )


def _domain_choices(domains: Iterable[Domain]) -> list[tuple[str, str]]:
    return [(domain.name, f"@{domain.name}") for domain in domains]


class NewAccountForm(AccountForm):
    local_part = forms.CharField(
        label=_("Address"), max_length=64, widget=forms.TextInput(attrs={"autocapitalize": "none"})
    )
    domain = forms.ChoiceField(label=_("Domain"))
    password = forms.CharField(
        label=_("Password"), required=False, strip=False, max_length=1000,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=_("Leave empty to have one generated; it is shown once."),
    )  # fmt: skip
    field_order = ("local_part", "domain", "password")

    def __init__(self, permissions: Permissions, *values: object, **named: object) -> None:
        super().__init__(permissions, *values, **named)
        _set_domain_choices(self.fields["domain"], permissions)

    def add_store_errors(self, problem: DirectoryError) -> None:
        fields = {"local_part" if name == "address" else name: text for name, text in problem.fields.items()}
        super().add_store_errors(DirectoryError(fields))

    @property
    def address(self) -> str:
        return f"{self.cleaned_data['local_part'].strip()}@{self.cleaned_data['domain']}"


def _set_domain_choices(field: forms.Field, permissions: Permissions) -> None:
    """Offer the local domains that the user may see."""
    assert isinstance(field, forms.ChoiceField)
    field.choices = _domain_choices(permissions.visible_domains().filter(kind=Domain.Kind.LOCAL).order_by("name"))


class BulkForm(Form):
    """Changes for many accounts; an empty field leaves that value unchanged in each of them."""

    state = forms.ChoiceField(
        label=_("State"), required=False, choices=lambda: [("", _("leave as it is")), *Account.State.choices]
    )
    quota = forms.CharField(
        label=_("Quota"), required=False, max_length=30,
        help_text=_("Empty: leave as it is. 500 MB, 2 GB; 0: no limit; “-”: as the domain says."),
    )  # fmt: skip
    quota_messages = forms.IntegerField(label=_("Messages at most"), required=False, min_value=0, max_value=2**31 - 1)
    expires = forms.DateField(
        label=_("Expires on"), required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        input_formats=["%Y-%m-%d"],
    )  # fmt: skip
    never = forms.BooleanField(label=_("Expires never"), required=False)
    language = forms.ChoiceField(
        label=_("Language"),
        required=False,
        choices=lambda: [("", _("leave as it is")), *settings.LANGUAGES],
        widget=LanguageSelect,
    )
    delete = forms.BooleanField(
        label=_("Delete these accounts with all their mail"), required=False,
        help_text=_("For good; what is chosen above does not matter then."),
    )  # fmt: skip

    def clean_quota(self) -> object:
        text = self.cleaned_data["quota"].strip()
        return text if text in ("", "-") else SizeField().clean(text)

    def clean(self) -> dict[str, object]:
        given = super().clean() or {}
        if not self.errors and not given["delete"] and not self.changes():
            raise forms.ValidationError(_("Nothing has been chosen to be changed."))
        return given

    def changes(self) -> dict[str, object]:
        """Return field → value for `directory.change_accounts`."""
        given = self.cleaned_data
        changes_by_field = {name: given[name] for name in ("state", "language") if given[name]}
        if given["quota"] != "":
            changes_by_field["quota_bytes"] = None if given["quota"] == "-" else given["quota"]
        if given["quota_messages"] is not None:
            changes_by_field["quota_messages"] = given["quota_messages"]
        if given["expires"] or given["never"]:
            changes_by_field["expires"] = None if given["never"] else given["expires"]
        return changes_by_field


class PasswordForm(Form):
    """A new password, typed twice; if both fields are empty, one is generated."""

    password = forms.CharField(
        label=_("New password"), required=False, strip=False, max_length=1000,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=_("Leave empty to have one generated; it is shown once."),
    )  # fmt: skip
    again = forms.CharField(
        label=_("New password again"), required=False, strip=False, max_length=1000,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )  # fmt: skip

    def clean_again(self) -> str:
        again: str = self.cleaned_data["again"]
        if again != self.cleaned_data.get("password"):
            raise forms.ValidationError(_("The two passwords are not the same."))
        return again


class ResetPasswordForm(PasswordForm):
    """A new password that an administrator sets."""

    revoke = forms.BooleanField(
        label=_("Also revoke app passwords and API tokens"), required=False, initial=True,
        help_text=_("Whoever knows one of them could otherwise go on using the account."),
    )  # fmt: skip


class OwnPasswordForm(PasswordForm):
    """A change of the user's own password: the present one is required, and none is generated."""

    present = forms.CharField(
        label=_("Current password"), strip=False, max_length=1000,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )  # fmt: skip
    field_order = ("present", "password", "again")

    def __init__(self, *values: object, **named: object) -> None:
        super().__init__(*values, **named)  # type: ignore[arg-type]
        for name in ("password", "again"):
            self.fields[name].required = True
            self.fields[name].help_text = ""
        self.fields["password"].help_text = _("At least eight characters, not only digits.")


class AliasForm(Form):
    local_part = forms.CharField(
        label=_("Address"), max_length=64, widget=forms.TextInput(attrs={"autocapitalize": "none"})
    )
    domain = forms.ChoiceField(label=_("Domain"))
    targets = forms.CharField(
        label=_("Delivers to"), max_length=200_000, widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false"}),
        help_text=_(
            "One or more addresses, separated by commas or line breaks. A name without a domain is one of this domain."
        ),
    )  # fmt: skip
    active = forms.BooleanField(label=_("Active"), required=False, initial=True)
    comment = forms.CharField(label=_("Comment"), required=False, max_length=200)

    def __init__(self, permissions: Permissions, *values: object, new: bool, **named: object) -> None:
        super().__init__(*values, **named)  # type: ignore[arg-type]
        if new:
            _set_domain_choices(self.fields["domain"], permissions)
        else:
            del self.fields["local_part"], self.fields["domain"]

    def add_store_errors(self, problem: DirectoryError) -> None:
        fields = {"local_part" if name == "address" else name: text for name, text in problem.fields.items()}
        super().add_store_errors(DirectoryError(fields))

    @property
    def address(self) -> str:
        return f"{self.cleaned_data['local_part'].strip()}@{self.cleaned_data['domain']}"

    @property
    def split_targets_field(self) -> list[str]:
        return split_targets(self.cleaned_data["targets"])


class OwnForm(Form):
    """The settings users may change in their own account."""

    name = forms.CharField(label=_("Full name"), required=False, max_length=200)
    language = forms.ChoiceField(label=_("Language"), required=False, choices=languages, widget=LanguageSelect)
    time_zone = forms.ChoiceField(
        label=_("Time zone"), required=False, choices=lambda: [("", _("As the system")), *time_zones()]
    )


class AppPasswordForm(Form):
    label = forms.CharField(
        label=_("For which program?"), max_length=100,
        widget=forms.TextInput(attrs={"placeholder": _("e.g. Thunderbird on my laptop")}),
    )  # fmt: skip
