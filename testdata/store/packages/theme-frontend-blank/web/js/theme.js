define(['menu'], function (menu) {
    'use strict';

    return function () {
        menu(document.querySelector('nav'));
    };
});
