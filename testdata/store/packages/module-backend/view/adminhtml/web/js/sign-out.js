define(['mage/translate'], function ($t) {
    'use strict';

    return function (link) {
        link.textContent = $t('Sign out');
    };
});
