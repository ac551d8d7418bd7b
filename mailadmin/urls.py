"""The addresses of the administrator's screens and of everybody's own account."""

from django.urls import path

from mailadmin.pages import (
    accounts,
    aliases,
    dashboard,
    domains,
    history,
    maillog,
    own,
    queue,
    settings,
    simulator,
    tracking,
)

app_name = "mailadmin"
urlpatterns = [
    path("admin/", dashboard.dashboard, name="dashboard"),
    path("admin/domains/", domains.domains, name="domains"),
    path("admin/domains/new", domains.new_domain, name="new-domain"),
    path("admin/domains/<int:domain_id>", domains.domain, name="domain"),
    path("admin/domains/<int:domain_id>/delete", domains.delete_domain, name="delete-domain"),
    path("admin/accounts/", accounts.accounts, name="accounts"),
    path("admin/accounts/new", accounts.new_account, name="new-account"),
    path("admin/accounts/<int:account_id>", accounts.account, name="account"),
    path("admin/accounts/<int:account_id>/password", accounts.password, name="password"),
    path("admin/accounts/<int:account_id>/delete", accounts.delete_account, name="delete-account"),
    path("admin/aliases/", aliases.aliases, name="aliases"),
    path("admin/aliases/new", aliases.new_alias, name="new-alias"),
    path("admin/aliases/<int:alias_id>", aliases.alias, name="alias"),
    path("admin/aliases/<int:alias_id>/delete", aliases.delete_alias, name="delete-alias"),
    path("admin/queue/", queue.letters, name="queue"),
    path("admin/queue/act", queue.act, name="queue-act"),
    path("admin/queue/destinations", queue.destinations, name="destinations"),
    path("admin/queue/<str:queue_id>", queue.letter, name="letter"),
    path("admin/tracking", tracking.tracking, name="tracking"),
    path("admin/log", maillog.maillog, name="log"),
    path("admin/log/download", maillog.download, name="log-download"),
    path("admin/settings/", settings.settings, name="settings"),
    path("admin/settings/<str:name>", settings.setting, name="setting"),
    path("admin/history/", history.history, name="history"),
    path("admin/history/<int:change_id>/undo", history.take_back, name="undo"),
    path("admin/simulator", simulator.simulator, name="simulator"),
    path("account/", own.overview, name="own"),
    path("account/tracking", tracking.own_tracking, name="own-tracking"),
    path("account/activity", history.own_history, name="own-history"),
    path("account/password", own.own_password, name="own-password"),
    path("account/app-passwords", own.app_passwords, name="app-passwords"),
    path("account/app-passwords/<int:password_id>/revoke", own.revoke, name="revoke"),
]
