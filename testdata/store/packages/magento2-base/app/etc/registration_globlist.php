<?php

/** Where components live that composer does not know of; patterns relative to the root of the store. */
return [
    'app/code/*/*/registration.php',
    'app/design/*/*/*/registration.php',
    'app/i18n/*/*/registration.php',
];
