"""The webmail's addresses. A folder stands in the query (?in=…): its name may hold any sign."""

from django.urls import path

from webmail.pages import box, compose, contacts, entrance, folders, letter, options, search

urlpatterns = [
    path("", box.index, name="box"),
    path("act/", box.act, name="act"),
    path("mail/<int:uid>", letter.read, name="read"),
    path("mail/<int:uid>/body", letter.body, name="body"),
    path("mail/<int:uid>/pictures", letter.picture_sender, name="picture-sender"),
    path("picture/<str:token>", letter.picture, name="picture"),
    path("mail/<int:uid>/unsubscribe", letter.leave_list, name="unsubscribe"),
    path("mail/<int:uid>/files.zip", letter.files, name="files"),
    path("mail/<int:uid>/print", letter.printed, name="print"),
    path("mail/<int:uid>/source", letter.source, name="source"),
    path("mail/<int:uid>/download", letter.download, name="download"),
    path("mail/<int:uid>/part/<str:section>", letter.part, name="part"),
    path("compose/", compose.compose, name="compose"),
    path("compose/<str:token>/", compose.resume, name="resume"),
    path("contacts/", contacts.index, name="contacts"),
    path("contacts/new", contacts.contact, name="contact-new"),
    path("contacts/<int:number>", contacts.contact, name="contact"),
    path("contacts/import", contacts.take_in, name="contacts-import"),
    path("contacts/export.vcf", contacts.export, {"kind": "vcf"}, name="contacts-vcard"),
    path("contacts/export.csv", contacts.export, {"kind": "csv"}, name="contacts-csv"),
    path("contacts/pick/<str:token>", contacts.pick, name="pick"),
    path("folders/", folders.folders, name="folders"),
    path("search/", search.search, name="search"),
    path("options/", options.options, name="options"),
    path("login/", entrance.sign_in, name="sign-in"),
    path("logout/", entrance.sign_out, name="sign-out"),
    path("language/", entrance.language, name="language"),
]
