"""The screens in the site's first language; that every text is there in all of them is tests/test_project_rules.py's."""

import pytest
from django.test import Client
from markup import compact


@pytest.mark.django_db
def test_a_page_in_chinese(office):
    browser = Client(headers={"accept-language": "zh-CN"})
    browser.force_login(office.ann, "mailcore.store.auth.account_login.AccountBackend")
    page = compact(browser.get("/admin/accounts/").text)
    assert '<html lang="zh-hans">' in page
    for word in ("新建账号", "所有状态", "管理员", "启用", "共 5 个"):
        assert word in page
