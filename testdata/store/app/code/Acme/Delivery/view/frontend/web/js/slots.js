define(['mage/translate'], function ($t) {
    'use strict';

    return function (element) {
        element.title = $t('Delivery time');
    };
});
