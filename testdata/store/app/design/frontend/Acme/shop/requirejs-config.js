var config = {
    deps: ['js/theme']
};
