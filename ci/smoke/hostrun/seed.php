<?php
/** Gives a fresh Magento a category and a product to look at; prints their paths, one a line. Other stores: nothing. */

require 'app/bootstrap.php';
if (!class_exists(\Magento\Framework\App\Bootstrap::class) || !interface_exists(\Magento\Catalog\Api\CategoryRepositoryInterface::class)) {
    exit(0);
}
$objects = \Magento\Framework\App\Bootstrap::create(BP, $_SERVER)->getObjectManager();
$objects->get(\Magento\Framework\App\State::class)->setAreaCode('adminhtml');
$root = $objects->get(\Magento\Store\Model\StoreManagerInterface::class)->getDefaultStoreView()->getRootCategoryId();
$category = $objects->create(\Magento\Catalog\Model\Category::class);
$category->setName('Smoke category')->setUrlKey('smoke-category')->setIsActive(true)->setIncludeInMenu(true)->setParentId($root);
$category = $objects->get(\Magento\Catalog\Api\CategoryRepositoryInterface::class)->save($category);
$product = $objects->create(\Magento\Catalog\Model\Product::class);
$product->setSku('smoke')->setName('Smoke product')->setUrlKey('smoke-product')->setTypeId('simple')->setAttributeSetId($product->getDefaultAttributeSetId())
    ->setPrice(1)->setStatus(1)->setVisibility(4)->setCategoryIds([$category->getId()])
    ->setWebsiteIds(array_keys($objects->get(\Magento\Store\Model\StoreManagerInterface::class)->getWebsites()))
    ->setStockData(['use_config_manage_stock' => 0, 'manage_stock' => 0, 'is_in_stock' => 1]);
$objects->get(\Magento\Catalog\Api\ProductRepositoryInterface::class)->save($product);
$suffix = static fn(string $of): string => (string) $objects->get(\Magento\Framework\App\Config\ScopeConfigInterface::class)->getValue("catalog/seo/{$of}_url_suffix");
echo '/smoke-category', $suffix('category'), "\n/smoke-product", $suffix('product'), "\n";
