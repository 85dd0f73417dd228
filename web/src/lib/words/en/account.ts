// The words of one's own account in English. A key that is missing does not compile.

import type { account as keys } from '../zh/account';

export const account: Record<keyof typeof keys, string> = {
  myLogin: 'How I log in',
  phoneNumber: 'Phone number',
  noPhone: 'none',
  changePhone: 'Change the phone number',
  newPhoneNumber: 'New phone number',
  phoneChanged: 'The phone number was changed.',
  changePassword: 'Change the password',
  oldPassword: 'The password as it is',
  passwordChanged: 'The password was changed; {n} other sessions ended.',
  factorOn: 'On; {n} recovery codes are left',
  factorOff: 'Off',
  enrolFactor: 'Turn on',
  enrolAnew: 'Replace the authenticator',
  removeFactor: 'Turn off',
  newCodes: 'New recovery codes',
  codeOrRecovery: 'The six digits, or a recovery code',
  factorChanged: 'The second step was changed.',
  factorRemoved: 'The second step is off.',
  confirmChange: 'Confirm',
  cancelChange: 'Cancel',
  mySessions: 'Where I am logged in',
  thisSession: 'this one',
  unknownDevice: 'unknown device',
  sessionOpened: 'logged in',
  sessionUsed: 'last used',
  endSession: 'End',
  endOthers: 'End all others',
  sessionsEnded: '{n} ended.',
};
