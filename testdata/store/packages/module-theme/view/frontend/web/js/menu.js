define(['mage/translate'], function ($t) {
    'use strict';

    return function (element) {
        element.setAttribute('aria-label', $t('Menu'));
    };
});
