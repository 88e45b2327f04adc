/* words: every sentence that a page shows, in one table, so that a second language is one more column.
 *
 * Texts are HTML without markup of their own; what a stranger said is escaped and put beside them, never into them. */
#pragma once

#define WORDS(X)                                                                                                                   \
	X(BRAND, "Fairlead")                                                                                                       \
	X(ROOT_TEXT, "This is a coordination server for Tailscale clients. A device joins with")                                  \
	X(SORRY, "This link cannot be used")                                                                                       \
	X(SORRY_BAD_LINK, "This is not a link that a device was given. Copy it whole.")                                           \
	X(SORRY_GONE, "No device waits under this link: it has joined already, or the link is too old.")                          \
	X(SORRY_AGAIN, "Run this on the device to get a new one:")                                                                \
	X(SORRY_BUSY, "The server cannot answer just now. Try again in a moment.")                                                \
	X(WAITING, "A device wants to join")                                                                                       \
	X(WAITING_CLI, "An administrator lets it in on the server with this command, with the name of its owner for NAME:")       \
	X(WAITING_ON, "The device goes on by itself then. If you do not know it, do nothing.")                                    \
	X(WAITING_SIGN_IN, "Sign in to connect it")                                                                                \
	X(CONNECT, "Connect this device?")                                                                                         \
	X(CONNECT_OWNER, "It will belong to")                                                                                      \
	X(PROOF, "The link that the device shows ends in")                                                                         \
	X(SIGN_IN_FACT, "Sign-in")                                                                                                 \
	X(ENDS_IN, "Ends in")                                                                                                      \
	X(ENDS_NEVER, "Does not end")                                                                                              \
	X(ON, "on")                                                                                                                \
	X(WILL_REACH, "It will reach")                                                                                             \
	X(NOTHING_YET, "Nothing yet")                                                                                              \
	X(MACHINE, "machine")                                                                                                      \
	X(MACHINES, "machines")                                                                                                    \
	X(EXIT_NODE, "exit node")                                                                                                  \
	X(EXIT_NODES, "exit nodes")                                                                                                \
	X(MORE_NETWORKS, "more networks")                                                                                          \
	X(AND, "and")                                                                                                              \
	X(JAN, "Jan") X(FEB, "Feb") X(MAR, "Mar") X(APR, "Apr") X(MAY, "May") X(JUN, "Jun")                                       \
	X(JUL, "Jul") X(AUG, "Aug") X(SEP, "Sep") X(OCT, "Oct") X(NOV, "Nov") X(DEC, "Dec")                                       \
	X(CONNECT_WARN, "Go on only if you started this on that device yourself. If somebody sent you this link, choose Not mine.") \
	X(CONNECT_YES, "Connect")                                                                                                  \
	X(CONNECT_NO, "Not mine")                                                                                                  \
	X(NAME, "Name")                                                                                                            \
	X(SYSTEM, "System")                                                                                                        \
	X(ASKED_FROM, "Asked from")                                                                                                \
	X(ASKED_AGO, "Asked")                                                                                                      \
	X(KEY, "Key")                                                                                                              \
	X(TAGS, "Wants the tags")                                                                                                  \
	X(NOT_KNOWN, "not known")                                                                                                  \
	X(AGO_NOW, "a moment ago")                                                                                                 \
	X(AGO_SECONDS, "seconds ago")                                                                                              \
	X(AGO_MINUTES, "minutes ago")                                                                                              \
	X(AGO_HOURS, "hours ago")                                                                                                  \
	X(AGO_DAYS, "days ago")                                                                                                    \
	X(DONE, "Connected")                                                                                                       \
	X(DONE_TEXT, "The device is part of the network now. You can close this page.")                                           \
	X(DONE_WAITS, "Waits for approval")                                                                                        \
	X(DONE_WAITS_TEXT, "The device is yours. It joins the network by itself as soon as an administrator approves it. You can close this page.") \
	X(DONE_OWNER, "Belongs to")                                                                                                      \
	X(DONE_USER_WAITS, "The device is yours. It joins the network by itself as soon as an administrator approves your account. You can close this page.")\
	X(CONNECT_WAITS, "Your account waits for an administrator&#39;s approval. The device has no access until then.")                 \
	X(USER_WAITS, "is new here. An administrator has to approve this account; until then its devices have no access.")               \
	X(USER_WAITS_ON, "This page goes on by itself when that is done.")                                                               \
	X(DONE_KEY_ENDS, "Sign-in ends")                                                                                           \
	X(DONE_NEVER, "never")                                                                                                     \
	X(DONE_ADDRESS, "Address")                                                                                                 \
	X(DENIED, "Not connected")                                                                                                 \
	X(DENIED_TEXT, "The device was refused, and the refusal was logged. If somebody sent you the link, tell your administrator.") \
	X(REFUSED, "You cannot sign in")                                                                                           \
	X(REFUSED_ASK_THEM, "Whom to ask:")                                                                                       \
	X(REFUSED_ASK, "Ask the administrator of")                                                                   \
	X(REFUSED_AGAIN, "Try again")                                                                                              \
	X(EXPIRED, "This sign-in took too long")                                                                                   \
	X(EXPIRED_TEXT, "It was begun in another browser, was used already, or is more than 15 minutes old.")                     \
	X(PROVIDER_AWAY, "The sign-in service cannot be reached")                                                                 \
	X(PROVIDER_AWAY_TEXT, "does not answer. Try again in a moment, or sign in another way. If it stays like this, tell your administrator.")                           \
	X(NOTHING, "Nothing is here")                                                                                                    \
	X(NOTHING_TEXT, "No page has this address.")                                                                                     \
	X(TROUBLE_TEXT, "The browser sent something that this server does not take. Open the page again.")                               \
	X(TOO_MANY, "Too many tries")                                                                                                    \
	X(OTHER_WAYS, "Other ways to sign in")                                                                                           \
	X(CHOOSE, "Sign in")                                                                                                       \
	X(CHOOSE_DEVICE, "Then you connect the device.")                                                                                  \
	X(CHOOSE_WITH, "Continue with")                                                                                            \
	X(FORM_OLD, "This page is too old")                                                                                        \
	X(FORM_OLD_TEXT, "Open the link again and answer there.")                                                                  \
	X(MY, "My devices")                                                                                                      \
	X(MY_NONE, "No device is yours yet.")                                                                      \
	X(MY_ONLINE, "Online")                                                                                                     \
	X(MY_EXPIRED, "Signed out")                                                                                                \
	X(MY_OFFLINE, "Offline")                                                                                                   \
	X(MY_FAILED, "That did not work")                                                                                          \
	X(MY_GONE, "It is not there any more, or is not yours.")                                                                  \
	X(MY_SEEN, "Last seen")                                                                                                    \
	X(MY_WAITS, "Waits for approval")                                                                                          \
	X(MY_ENDS, "Sign-in ends in")                                                                                              \
	X(MY_CONSOLE, "Open the console")                                                                                          \
	X(DAYS, "days")                                                                                                            \
	X(RENEW, "Renew")                                                                                                          \
	X(CHANGE, "Change")                                                                                                        \
	X(NEW_NAME, "New name of")                                                                                                 \
	X(REMOVE_ASK, "Remove…")                                                                                                   \
	X(REMOVE_DEVICE, "Remove this device?")                                                                                    \
	X(REMOVE_TEXT, "It leaves the network at once, and its name and address may go to another. To come back, somebody must sign in on it again.") \
	X(KEEP, "Keep it")                                                                                                         \
	X(REACH, "What I can reach")                                                                                               \
	X(REACH_NONE, "Nothing yet. Ask your administrator.")                                                                     \
	X(MISSING, "Something missing?")                                                                                                 \
	X(MISSING_TEXT, "Say what you want to reach. Whoever writes the access rules is told, and answers by a rule.")                   \
	X(MISSING_WHAT, "A machine, an address, or what it is for")                                                                      \
	X(MISSING_WHY, "What for, if it helps")                                                                                          \
	X(MISSING_ASK, "Ask")                                                                                                            \
	X(MISSING_WAIT, "You asked for")                                                                                                 \
	X(MISSING_ASKED, "asked")                                                                                                        \
	X(MISSING_END, "Take back")                                                                                                      \
	X(ALL_PORTS, "all ports")                                                                                                  \
	X(AND_MORE, "and more")                                                                                                    \
	X(INTERNET, "Internet")                                                                                                    \
	X(THROUGH, "through")                                                                                                      \
	X(ADD, "Add a device")                                                                                                     \
	X(ADD_COMPUTER, "After installing Tailscale, run this there and open the link that it prints:")                           \
	X(ADD_KEY, "Or make a key. It adds one device, within 10 minutes, without signing in there.")                             \
	X(ADD_KEY_MAKE, "Make a key")                                                                                              \
	X(KEY_TEXT, "Run this on the device within 10 minutes. It works once, and is shown only now.")                            \
	X(KEY_PHONE, "On a phone: choose another server in the app, sign in there with an auth key, and scan or type:")           \
	X(KEY_SERVER, "Server")                                                                                                    \
	X(QR, "QR code of the key")                                                                                                \
	X(DONE_LINK, "Done")                                                                                                       \
	X(HOW, "How I sign in")                                                                                                    \
	X(PASSKEYS_NONE, "None yet")                                                                                               \
	X(PASSWORD_WHAT, "With an authenticator app")                                                                              \
	X(SESSIONS, "Where I am signed in")                                                                                        \
	X(SIGNED_IN, "Signed in")                                                                                                  \
	X(THIS_ONE, "This browser")                                                                                                \
	X(BROWSER, "Browser")                                                                                                      \
	X(SIGNED_IN_AS, "Signed in as")                                                                                            \
	X(SIGN_OUT, "Sign out")                                                                                                    \
	X(SIGNED_OUT, "Signed out")                                                                                                \
	X(SIGNED_OUT_TEXT, "This browser is signed out here. Your sign-in service may still know you.")                           \
	X(LOCAL_NAME, "Name or mail address")                                                                                       \
	X(LOCAL_PASSWORD, "Password")                                                                                              \
	X(LOCAL_CODE, "Code of your authenticator app")                                                                           \
	X(LOCAL_SIGN_IN, "Sign in")                                                                                                \
	X(LOCAL_OR, "or with an account of this server")                                                                          \
	X(OR, "or")                                                                                                                \
	X(BACK, "Back")                                                                                                            \
	X(SAVE, "Save")                                                                                                            \
	X(RENAME, "Rename")                                                                                                        \
	X(REMOVE, "Remove")                                                                                                        \
	X(PASSKEY_USE, "Use a passkey")                                                                                            \
	X(PASSKEY_FAILED, "The browser showed no passkey. Try again, or sign in another way.")                                    \
	X(PASSKEYS, "Your passkeys")                                                                                               \
	X(PASSKEYS_TEXT, "A passkey signs you in with the fingerprint, face or PIN of a device that you have. You can have several.") \
	X(PASSKEY_ADD, "Add a passkey")                                                                                            \
	X(PASSKEY_NAME, "What do you call it?")                                                                                    \
	X(PASSKEY_USED, "Last used")                                                                                               \
	X(PASSKEY_NEVER, "Never used")                                                                                             \
	X(PASSKEY_SYNCED, ", kept by a password manager")                                                                         \
	X(PASSKEY_NO_SCRIPT, "To add a passkey, this page needs scripts and a browser that has passkeys.")                        \
	X(PASSKEY_NO_NAME, "Browsers have passkeys only for servers that are reached by https and a name.")                       \
	X(PASSKEY_NOT_ADDED, "That did not work")                                                                                  \
	X(START_PASSWORD, "Set a password")                                                                                        \
	X(LOCAL_WRONG, "That did not work")                                                                                        \
	X(LOCAL_WRONG_TEXT, "The name, the password or the code is wrong. A code works once and for half a minute.")              \
	X(LOCAL_WAIT, "Wait a few minutes, then try again.")                                                        \
	X(LOCAL_NONE, "No way in yet? An administrator makes a link for you:")                                                  \
	X(BUSY, "Just a moment")                                                                                                         \
	X(WELCOME_THREE, "Your network, in three steps")                                                                                 \
	X(WELCOME_TWO, "Your network, in two steps")                                                                                     \
	X(WELCOME_RUNS, "Fairlead is running at")                                                                                        \
	X(WELCOME_TIME, "This takes about two minutes.")                                                                                 \
	X(WELCOME_BY_LINK, "This page opens by a link that works once. An administrator makes one: fairlead console login")              \
	X(STEP_CHECK, "Check that machines can reach this server")                                                                       \
	X(CHECKS_ALL, "Nothing to mend")                                                                                                 \
	X(CHECKS_SOME, "to look at")                                                                                                     \
	X(STEP_OWNER, "Make this account yours")                                                                                         \
	X(STEP_SIGN_IN, "Choose how you will sign in")                                                                                   \
	X(STEP_MACHINE, "Connect your first machine")                                                                                    \
	X(BY_PASSKEY, "with a passkey")                                                                                                  \
	X(BY_PASSWORD, "with a password")                                                                                                \
	X(BY_PROVIDER, "through your sign-in service")                                                                                   \
	X(ON_LINUX, "Linux") X(ON_MACOS, "macOS") X(ON_WINDOWS, "Windows") X(ON_IOS, "iPhone, iPad") X(ON_ANDROID, "Android")            \
	X(GET_LINUX, "Install Tailscale, if it is not there yet.")                                                                       \
	X(GET_MACOS, "Install Tailscale from its download page or the App Store.")                                                       \
	X(GET_WINDOWS, "Install Tailscale from its download page.")                                                                      \
	X(GET_IOS, "Install Tailscale from the App Store.")                                                                              \
	X(GET_ANDROID, "Install Tailscale from Google Play or F-Droid.")                                                                 \
	X(POINT, "Point it at this server. It prints a link; open it to connect the machine.")                                           \
	X(POINT_IOS, "In the app: the account icon, Log in…, then Use custom coordination server in the menu. Scan or type this address:")\
	X(POINT_ANDROID, "In the app: the settings, Accounts, then Use an alternate server in the menu. Scan or type this address:")     \
	X(QR_SERVER, "QR code of this server&#39;s address")                                                                             \
	X(MACHINE_WAITS, "Waits for your first machine. It appears here by itself.")                                                     \
	X(MACHINE_LATER, "It appears here once it is connected.")                                                                        \
	X(MACHINE_IN, "It is connected. Its address is")                                                                                 \
	X(STAND_STILL, "Do not look again by itself")                                                                                    \
	X(LOOK_AGAIN, "Look again")                                                                                                      \
	X(LATER, "Later, when you like:")                                                                                                \
	X(LATER_PROVIDER, "Sign in with your identity provider")                                                                         \
	X(LATER_INVITE, "Invite people")                                                                                                 \
	X(LATER_RULES, "Write access rules")                                                                                             \
	X(MY_OPEN, "My devices")                                                                                                         \
	X(WELCOME, "Welcome")                                                                                                      \
	X(WELCOME_TEXT, "This link signs this browser in, once.")                                                                 \
	X(WELCOME_OLD, "This link was used already, or is too old. An administrator can make another.")                           \
	X(PASSWORD, "Your password")                                                                                               \
	X(PASSWORD_TEXT, "With a password and an authenticator app you can sign in here yourself.")                               \
	X(PASSWORD_NEW, "New password, 10 characters or more")                                                                    \
	X(PASSWORD_AGAIN, "The same once more")                                                                                    \
	X(PASSWORD_APP, "Add this key to your authenticator app, then write the code that it shows:")                             \
	X(PASSWORD_APP_LINK, "Open in an app on this device")                                                                      \
	X(PASSWORD_SAVE, "Save")                                                                                                   \
	X(PASSWORD_SHORT, "The password must have 10 to 128 characters.")                                                         \
	X(PASSWORD_DIFFERS, "The two passwords are not the same.")                                                                 \
	X(PASSWORD_CODE, "The code is not right. Write the one that the app shows now.")                                          \
	X(PASSWORD_SAVED, "Saved")                                                                                                 \
	X(PASSWORD_SAVED_TEXT, "Sign in with the new password and a code from now on.")                                           \
	X(MY_PASSWORD, "Set a password")                                                                                           \
	X(SSH, "Open this SSH session?")                                                                                           \
	X(SSH_GONE, "No SSH session waits under this link: it was confirmed or refused already, or the link is too old. Connect again to get a new one.") \
	X(SSH_FROM, "From")                                                                                                        \
	X(SSH_OF, "Of")                                                                                                            \
	X(SSH_TO, "To")                                                                                                            \
	X(SSH_AS, "As")                                                                                                            \
	X(SSH_CLI, "An administrator confirms or refuses it on the server:")                                                      \
	X(SSH_WARN, "Go on only if you have just started it yourself.")                                                           \
	X(SSH_YES, "Open the session")                                                                                             \
	X(SSH_NO, "Not me")                                                                                                        \
	X(SSH_DONE, "Confirmed")                                                                                                   \
	X(SSH_DONE_TEXT, "The session goes on by itself. You can close this page.")                                               \
	X(SSH_REFUSED, "Refused")                                                                                                  \
	X(SSH_REFUSED_TEXT, "The session was refused, and the refusal was logged.")                                               \
	X(SSH_NOT_OWNER, "Only the person whom the device belongs to can confirm this session.")                                  \
	X(ADMIN, "Administration")                                                                                                 \
	X(ADMIN_CLI, "This server is administered from its command line:")                                                        \
	X(ADMIN_API, "or by tools for Headscale&#39;s API, with a key made by")

enum word {
#define X(name, en) W_##name,
	WORDS(X)
#undef X
	WORDS_N
};
const char *word(enum word w);
