<?php
return [
    'modules' => [
        'Magento_Csp' => 0,
        'Magento_Store' => 1,
        'Magento_Theme' => 1,
        'Acme_Greeting' => 1,
        'Magento_Backend' => 1,
        'Magento_Catalog' => 1,
        'Magento_Checkout' => 1,
        'Acme_Delivery' => 1,
        'Sample_Loyalty' => 1
    ],
    'scopes' => [
        'websites' => [
            'admin' => [
                'website_id' => '0',
                'code' => 'admin',
                'name' => 'Admin',
                'sort_order' => '0',
                'default_group_id' => '0',
                'is_default' => '0'
            ],
            'base' => [
                'website_id' => '1',
                'code' => 'base',
                'name' => 'Main Website',
                'sort_order' => '0',
                'default_group_id' => '1',
                'is_default' => '1'
            ]
        ],
        'groups' => [
            [
                'group_id' => '0',
                'website_id' => '0',
                'name' => 'Default',
                'root_category_id' => '0',
                'default_store_id' => '0',
                'code' => 'default'
            ],
            [
                'group_id' => '1',
                'website_id' => '1',
                'name' => 'Main Website Store',
                'root_category_id' => '2',
                'default_store_id' => '1',
                'code' => 'main_website_store'
            ]
        ],
        'stores' => [
            'admin' => [
                'store_id' => '0',
                'code' => 'admin',
                'website_id' => '0',
                'group_id' => '0',
                'name' => 'Admin',
                'sort_order' => '0',
                'is_active' => '1'
            ],
            'default' => [
                'store_id' => '1',
                'code' => 'default',
                'website_id' => '1',
                'group_id' => '1',
                'name' => 'English',
                'sort_order' => '0',
                'is_active' => '1'
            ],
            'de' => [
                'store_id' => '2',
                'code' => 'de',
                'website_id' => '1',
                'group_id' => '1',
                'name' => 'Deutsch',
                'sort_order' => '10',
                'is_active' => '1'
            ],
            'fr' => [
                'store_id' => '3',
                'code' => 'fr',
                'website_id' => '1',
                'group_id' => '1',
                'name' => 'Français',
                'sort_order' => '20',
                'is_active' => '1'
            ]
        ]
    ],
    'themes' => [
        'frontend/Magento/blank' => [
            'parent_id' => null,
            'theme_path' => 'Magento/blank',
            'theme_title' => 'Blank (stand-in)',
            'is_featured' => '0',
            'area' => 'frontend',
            'type' => '0',
            'code' => 'Magento/blank'
        ],
        'adminhtml/Magento/backend' => [
            'parent_id' => null,
            'theme_path' => 'Magento/backend',
            'theme_title' => 'Backend (stand-in)',
            'is_featured' => '0',
            'area' => 'adminhtml',
            'type' => '0',
            'code' => 'Magento/backend'
        ],
        'frontend/Acme/shop' => [
            'parent_id' => 'Magento/blank',
            'theme_path' => 'Acme/shop',
            'theme_title' => 'Acme Shop',
            'is_featured' => '0',
            'area' => 'frontend',
            'type' => '0',
            'code' => 'Acme/shop'
        ]
    ],
    'system' => [
        'default' => [
            'general' => [
                'locale' => [
                    'code' => 'en_US'
                ]
            ],
            'design' => [
                'theme' => [
                    'theme_id' => 'frontend/Acme/shop'
                ]
            ]
        ],
        'stores' => [
            'de' => [
                'general' => [
                    'locale' => [
                        'code' => 'de_DE'
                    ]
                ]
            ],
            'fr' => [
                'general' => [
                    'locale' => [
                        'code' => 'fr_FR'
                    ]
                ]
            ]
        ]
    ],
    'admin_locales_for_deploy' => [
        'de_DE'
    ]
];
