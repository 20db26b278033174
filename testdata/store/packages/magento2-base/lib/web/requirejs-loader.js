/* The smallest loader that runs the sample's modules. */
(function (root) {
    'use strict';

    var defined = {};

    root.define = function (name, dependencies, factory) {
        defined[name] = { dependencies: dependencies, factory: factory };
    };
    root.require = function (name) {
        return defined[name] && defined[name].factory;
    };
}(window));
