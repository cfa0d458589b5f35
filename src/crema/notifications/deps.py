"""What the routes of the mailbox take from the application."""

from dataclasses import dataclass

from crema.notifications.service.rendering import MailRenderer


@dataclass(frozen=True, kw_only=True, slots=True)
class MailState:
    """What the application holds for mails."""

    mail_renderer: MailRenderer
