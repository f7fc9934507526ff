"""Microsoft Graph: users and invitations of guests.

Its SDK is too large to be installed for tests; fields and errors are those of
the reference of Graph v1.0 (resources `user` and `invitation`).
"""

import re
import uuid
from datetime import datetime
from datetime import timezone
from urllib.parse import quote

from . import odata
from .http import Refusal
from .http import Response
from .routes import Route
from .service import Service
from .world import User

# Fields of an invitation that a client may send, with their types.
INVITATION = {
    "invitedUserEmailAddress": str,
    "invitedUserDisplayName": str,
    "inviteRedirectUrl": str,
    "sendInvitationMessage": bool,
    "invitedUserType": str,
    "invitedUserMessageInfo": dict,
    "resetRedemption": bool,
    "invitedUser": dict,
}
REQUIRED = ["invitedUserEmailAddress", "inviteRedirectUrl"]

# Fields of a user without `$select`.
SHOWN = ["id", "displayName", "mail", "userPrincipalName"]
SELECTABLE = [*SHOWN, "otherMails", "userType", "externalUserState", "accountEnabled"]

EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


class Graph(Service):
    """The port of Microsoft Graph."""

    name = "graph"
    throttled = ("TooManyRequests", "Too many requests.")

    def routes(self):
        return [
            Route("GET", r"/v1\.0/users", "users.list", self.users),
            Route("GET", r"/v1\.0/users/(?P<id>[^/]+)", "users.get", self.user),
            Route("POST", r"/v1\.0/invitations", "invitations.post", self.invite),
        ]

    def authenticate(self, request):
        authorization = request.headers.get("authorization")
        claims = self.tenant.tokens.find(authorization)
        text = None
        if authorization is None:
            text = "Access token is empty."
        elif claims is None:
            text = "JWT is not well formed."
        elif claims["audience"] != "graph":
            text = "Access token validation failure. Invalid audience."
        elif self.tenant.tokens.is_expired(claims):
            text = "Lifetime validation failed, the token is expired."
        if text:
            challenge = f'Bearer realm="", error="invalid_token", error_description="{text}"'
            raise Refusal(
                401, "InvalidAuthenticationToken", text, [("WWW-Authenticate", challenge)]
            )
        return claims

    def access_denied(self, fault):
        text = "Insufficient privileges to complete the operation."
        return Refusal(403, fault.get("code", "Authorization_RequestDenied"), text)

    def render(self, refusal):
        inner = {
            "date": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S"),
            "request-id": str(uuid.uuid4()),
            "client-request-id": str(uuid.uuid4()),
        }
        error = {"code": refusal.code, "message": refusal.message, "innerError": inner}
        return Response(refusal.status, {"error": error}, refusal.headers)

    def not_found(self, request):
        return bad(f"Resource not found for the segment '{request.path}'.")

    def users(self, request, caller):
        rule = self.filter(request.parameter("$filter"))
        fields = self.select(request)
        found = []
        for user in self.tenant.users.values():
            if not rule(self.resource(user)):
                continue
            if user.searches_left > 0:
                user.searches_left -= 1
                continue
            found.append(user)
        size = self.size(request)
        start = int(request.parameter("$skiptoken") or 0)
        body = {
            "@odata.context": f"{self.url}/v1.0/$metadata#users",
            "value": [self.resource(user, fields) for user in found[start : start + size]],
        }
        if start + size < len(found):
            kept = [pair for pair in request.query if pair[0] != "$skiptoken"]
            query = "&".join(f"{quote(name)}={quote(value)}" for name, value in kept)
            link = f"{self.url}/v1.0/users?{query}&%24skiptoken={start + size}"
            body["@odata.nextLink"] = link
        return Response(200, body)

    def filter(self, text):
        try:
            return odata.parse(text) if text else lambda item: True
        except odata.Unsupported as error:
            raise bad(f"Invalid filter clause: '{error}'.") from error

    def select(self, request):
        names = request.parameter("$select")
        fields = names.split(",") if names else SHOWN
        unknown = [name for name in fields if name not in SELECTABLE]
        if unknown:
            raise bad(
                f"Could not find a property named '{unknown[0]}' on type 'microsoft.graph.user'."
            )
        return fields

    def size(self, request):
        top = request.parameter("$top")
        if top is None:
            return self.tenant.settings["page_size"]
        if not top.isdigit() or not 1 <= int(top) <= 999:
            raise bad("Invalid page size specified. Must be between 1 and 999 inclusive.")
        return int(top)

    def user(self, request, caller, id):
        user = self.tenant.users.get(id.lower())
        if user is None:
            message = f"Resource '{id}' does not exist or one of its queried reference-property "
            message += "objects are not present."
            raise Refusal(404, "Request_ResourceNotFound", message)
        return Response(200, self.resource(user, self.select(request)))

    def invite(self, request, caller):
        body = request.json()
        self.check(body)
        mail = body["invitedUserEmailAddress"]
        user = self.guest(mail, body.get("invitedUserDisplayName") or mail.split("@")[0])
        ticket = self.tenant.new_id("ticket", f"{mail}/{len(self.tenant.invitations)}")
        invitation = {
            "id": self.tenant.new_id("invitation", f"{mail}/{len(self.tenant.invitations)}"),
            # Signs the guest in without a further proof: a secret.
            "inviteRedeemUrl": (
                f"https://login.microsoftonline.us/redeem?rd=https%3a%2f%2finvitations.microsoft.us"
                f"%2fredeem%2f%3ftenant%3d{self.tenant.id}%26ticket%3d{ticket}"
            ),
            "invitedUserDisplayName": body.get("invitedUserDisplayName"),
            "invitedUserType": body.get("invitedUserType") or "Guest",
            "invitedUserEmailAddress": mail,
            "sendInvitationMessage": body.get("sendInvitationMessage", False),
            "resetRedemption": body.get("resetRedemption", False),
            "inviteRedirectUrl": body["inviteRedirectUrl"],
            "status": "PendingAcceptance",
            "invitedUserMessageInfo": body.get("invitedUserMessageInfo"),
            "invitedUser": {"id": user.id},
        }
        self.tenant.invitations.append(invitation)
        context = f"{self.url}/v1.0/$metadata#invitations/$entity"
        return Response(201, {"@odata.context": context, **invitation})

    def check(self, body):
        if not isinstance(body, dict):
            raise bad("The body must be an object.")
        for name, value in body.items():
            if name.startswith("@odata."):
                continue
            if name not in INVITATION:
                raise bad(
                    f"The property '{name}' does not exist on type 'microsoft.graph.invitation'."
                )
            if value is not None and not isinstance(value, INVITATION[name]):
                raise bad(f"The value of the property '{name}' has another type.")
        missing = [name for name in REQUIRED if not body.get(name)]
        if missing:
            raise bad(f"The required property '{missing[0]}' is missing.")
        if not EMAIL.fullmatch(body["invitedUserEmailAddress"]):
            raise bad("The invited user has an invalid email address.")
        if not body["inviteRedirectUrl"].startswith(("https://", "http://")):
            raise bad("The invite redirect URL is not valid.")

    def guest(self, mail, display_name):
        """Returns the user with an address: a second invitation makes no second."""
        known = (user for user in self.tenant.users.values() if user.mail.lower() == mail.lower())
        user = next(known, None)
        if user is None:
            user = User(
                self.tenant.new_id("user", mail.lower()),
                mail,
                display_name,
                searches_left=self.tenant.settings["guest_lag"],
                assignments_left=self.tenant.settings["principal_lag"],
            )
            self.tenant.users[user.id] = user
        return user

    def resource(self, user, fields=SELECTABLE):
        everything = {
            "id": user.id,
            "displayName": user.display_name,
            "mail": user.mail,
            "userPrincipalName": user.principal_name,
            "otherMails": user.other_mails or [user.mail],
            "userType": user.user_type,
            "externalUserState": user.external_user_state,
            "accountEnabled": True,
        }
        return {name: everything[name] for name in fields}


def bad(message):
    return Refusal(400, "Request_BadRequest", message)
