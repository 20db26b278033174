var config = {
    map: {
        '*': {
            signOut: 'Magento_Backend/js/sign-out'
        }
    }
};
