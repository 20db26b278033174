var config = {
    map: {
        '*': {
            addToCart: 'Magento_Catalog/js/add-to-cart'
        }
    }
};
