define(['mage/translate', 'mage/storage'], function ($t, storage) {
    'use strict';

    return function (element) {
        element.textContent = storage.get('cart') ? $t('Order total') : $t('Your cart is empty.');
    };
});
