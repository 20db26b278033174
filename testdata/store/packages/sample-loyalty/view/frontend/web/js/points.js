define(['mage/translate'], function ($t) {
    'use strict';

    return function (element, points) {
        element.textContent = points + ' ' + $t('points');
    };
});
