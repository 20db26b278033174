define(['text!js-translation.json'], function (dictionary) {
    'use strict';

    var words = JSON.parse(dictionary);

    return function (text) {
        return words[text] || text;
    };
});
