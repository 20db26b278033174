define(['mage/translate'], function ($t) {
    'use strict';

    return function (button) {
        button.textContent = $t('Buy now');
    };
});
