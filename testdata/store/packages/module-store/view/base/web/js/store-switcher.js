define(['mage/storage'], function (storage) {
    'use strict';

    return function (code) {
        storage.set('store', code);
    };
});
